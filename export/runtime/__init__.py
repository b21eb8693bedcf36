"""What runs a bundle: loads and checks the folder, and steps and ranks with its graphs, on the CPU or on a GPU.

The room may import `encoder.data` and `encoder.errors`. It imports neither torch nor onnx nor another room of export,
so that a worker starts without them. It does not write graphs, which `export.graphs` does, and it knows neither Kafka
nor Cassandra.
"""
