"""How an evaluation is shown: tables of text for the terminal, and one HTML page with plots.

The room takes the object that `bundle_evaluation.evaluate_bundle` returns. It may import `encoder.metrics` and
`export.evaluation`, and it computes no metric.
"""
