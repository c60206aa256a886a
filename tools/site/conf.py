"""Settings of the web page. `build.py` adds what it finds out, such as the repository."""

project = "tlcourse"
author = "The tlcourse developers"
copyright = "The tlcourse developers"
language = "en"
extensions = ["myst_nb", "sphinx_copybutton", "sphinx_design", "tools.site.fixes"]

nb_execution_mode = "off"  # the outputs are those of the notebooks
nb_ipywidgets_js = {}
myst_enable_extensions = ["colon_fence", "tasklist"]
myst_heading_anchors = 4
smartquotes = False
# Only code is worth a copy, not what it printed.
copybutton_selector = "div.cell_input div.highlight pre, div.highlight-bash div.highlight pre"

html_theme = "sphinx_book_theme"
html_title = "tlcourse"
templates_path = ["templates"]
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/favicon.svg"
html_copy_source = True
html_use_index = False
html_context = {"default_mode": "auto"}  # light or dark as the visitor's system is
html_theme_options = {
    "article_footer_items": [],
    "footer_content_items": ["copyright.html"],
    "logo": {"text": "tlcourse"},
    "navbar_persistent": [],  # the search is in the sidebar
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "show_toc_level": 2,
    "toc_title": "On this page",
    "use_fullscreen_button": False,
}
