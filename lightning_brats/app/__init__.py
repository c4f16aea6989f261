"""The web app: scans in, segmentation seen, judged and taken home, all on this machine.

It is a thin layer of widgets over the functions that the commands call. What can be done without a
browser lies in modules that know nothing of Streamlit; `page.py`, `tabs/` and `viewer.py` draw.
"""
