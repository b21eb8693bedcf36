"""The routes that answer questions about one user: churn, the next event, look-alikes, explanations."""
