"""Crops as one stage behind the graph: Triton kernels that make every crop of a batch from decoded pictures."""
