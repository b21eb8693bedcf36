"""Online metrics: follows the evaluation topic and scores the model beside two baselines on the same events."""
