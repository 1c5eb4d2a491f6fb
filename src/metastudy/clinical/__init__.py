"""What a clinician would ask of predicted probabilities, all from one tidy table (`predictions.PREDICTIONS`)."""

from metastudy.clinical.abstention import abstention_measures, aurc, coverage_curves, risk_coverage
from metastudy.clinical.averages import over_families
from metastudy.clinical.calibration import (
    brier_parts,
    calibration_error,
    calibration_measures,
    reliability_table,
)
from metastudy.clinical.delong import auroc_covariance, auroc_interval, compare_aurocs
from metastudy.clinical.logistic import cox, log_odds
from metastudy.clinical.predictions import PREDICTIONS, check_predictions
from metastudy.clinical.recalibration import (
    Calibrator,
    platt,
    prevalence_of,
    prior_shift,
    temperature,
    transductive_prevalence,
    transductive_prior_shift,
)
from metastudy.clinical.subgroups import by_subgroup, subgroup_differences
from metastudy.clinical.thresholds import (
    decision_curves,
    net_benefit,
    net_benefits,
    operating_points,
    sensitivity_at,
    specificity_at,
)

__all__ = [
    "PREDICTIONS",
    "Calibrator",
    "abstention_measures",
    "auroc_covariance",
    "auroc_interval",
    "aurc",
    "brier_parts",
    "by_subgroup",
    "calibration_error",
    "calibration_measures",
    "check_predictions",
    "compare_aurocs",
    "coverage_curves",
    "cox",
    "decision_curves",
    "log_odds",
    "net_benefit",
    "net_benefits",
    "operating_points",
    "over_families",
    "platt",
    "prevalence_of",
    "prior_shift",
    "reliability_table",
    "risk_coverage",
    "sensitivity_at",
    "specificity_at",
    "subgroup_differences",
    "temperature",
    "transductive_prevalence",
    "transductive_prior_shift",
]
