"""The page: one tab a file, over the pipeline.

Of the whole package only this folder imports Gradio; the benchmark uses its client.
"""
