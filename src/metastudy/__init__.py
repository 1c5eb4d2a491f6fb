"""Learning to adapt from few labelled examples: models, mappings, task families and honest comparisons."""
