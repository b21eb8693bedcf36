"""Commands of Thalweg that kill themselves at a chosen call."""
