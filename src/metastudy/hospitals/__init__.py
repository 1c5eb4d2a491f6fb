"""Diagnosis at a hospital that training never saw: f from the others, and ways of asking a few of its patients."""

from metastudy.hospitals.new_hospital import NewHospital
from metastudy.hospitals.prior_centred import PriorCentred
from metastudy.hospitals.recalibration import Recalibration

__all__ = ["NewHospital", "PriorCentred", "Recalibration"]
