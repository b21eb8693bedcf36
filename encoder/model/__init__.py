"""The user model in torch: item vectors, recurrent cells with their companions, and heads.

The room owns the shape of a model, its forward pass and the extension of its catalogue. It imports `encoder.metrics`,
`encoder.data` and `encoder.errors`. It neither trains nor stores models, and it does not know how a model is exported.
"""
