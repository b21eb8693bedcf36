"""The ONNX graphs of a trained model: a step, a prediction, and the graphs of states that stay on a GPU.

The graphs are built by hand, because a step is so small that every operator counts. The room may import `encoder`, and
of export only `export.runtime.inputs`. It returns serialised graphs: it neither writes files, which `export.exporter`
does, nor runs graphs, which `export.runtime` does. The same model gives the same bytes, because a bundle's id is a hash
of its files.
"""
