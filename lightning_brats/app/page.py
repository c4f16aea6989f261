"""The page, run anew at each visit and click; `experiments/app.py` serves it."""

from __future__ import annotations

import streamlit as st

st.set_page_config("lightning_brats", "🧠", "wide", initial_sidebar_state="collapsed")

from lightning_brats.app import tabs  # noqa: E402  (the page's settings come first)

STYLE = """
<style>
  .block-container { padding: 1.4rem 2rem 3rem; max-width: 1500px; }
  h1 { font-size: 1.7rem !important; padding: 0 0 .2rem !important; }
  [data-testid="stMetricValue"] { font-size: 1.7rem; }
  .notice { padding: .45rem .9rem; margin-bottom: .6rem; border: 1px solid #e8c25a;
    border-radius: 8px; background: #fff4d6; color: #6b4a00; font-size: .95rem; }
  @media (max-width: 800px) { .block-container { padding: 1rem 1rem 3rem; } }
</style>
"""
NOTICE = """
<div class="notice" role="note"><b>Research only.</b> Not a medical device; not for diagnosis or for
decisions about treatment. Scans stay on this computer and are deleted when you leave.</div>
"""


def main() -> None:
    """Heading, and the chosen part."""
    st.html(STYLE)
    st.title("Brain tumour segmentation")
    st.html(NOTICE)
    names = list(tabs.PARTS)
    chosen = st.segmented_control(
        "Part", names, default=names[0], key="part", label_visibility="collapsed"
    )
    tabs.PARTS[chosen or names[0]]()


main()
