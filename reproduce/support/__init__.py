"""What the scripts share: the paper's numbers, the run store, studies, measures, results."""
