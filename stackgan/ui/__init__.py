"""The page: one tab a file over the pipeline. Gradio is imported here and in app.py alone."""
