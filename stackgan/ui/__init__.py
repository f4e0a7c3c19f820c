"""The page, over the pipeline. A tab X is X.py, what it does, X_layout.py, its components, and where
those would be too long X_shown.py, what an event changes of what is shown.

Of the whole package only this folder imports Gradio; the benchmark uses its client.
"""
