"""What the scripts share: how they run, the paper's numbers, the run store, studies, results."""
