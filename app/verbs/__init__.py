"""The verbs of the workbench by area; `app.services.Services` joins them."""
