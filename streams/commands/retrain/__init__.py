"""`thalweg retrain`: makes a new bundle of the present history, and steps the history into the bundle's rows."""
