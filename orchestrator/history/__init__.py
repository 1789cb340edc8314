"""The history of nights: what each of them found, kept in a local database."""
