"""One self-contained HTML page about a ranking of labeled rows.

`analysis` computes what the metrics do not, `figures` draws it, `page` is the HTML and its style sheet, `sections` says
what each section of the page holds, and `report` puts them together.
"""

from xclassic.html_report.report import write_report

__all__ = ["write_report"]
