"""JSON Schemas of all topics and the AsyncAPI document, generated from `streams.contracts` and checked in."""
