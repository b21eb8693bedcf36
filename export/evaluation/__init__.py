"""Offline evaluation of a bundle: its own ONNX graphs, stepped and ranked as the live system does. Free of torch."""
