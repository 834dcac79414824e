"""`swincli view`: a local page to explore a model and to look at runs.

`server` answers the browser and never imports torch. `worker` owns the model, in a process of its own. `look` is the
state of a picture as text, which both sides and the page's address share. `page` is what the browser loads.
"""
