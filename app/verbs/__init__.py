"""The verbs of the workbench by area; `app.verbs.services.Services` joins them."""
