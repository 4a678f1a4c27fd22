"""Reports: a ranking for the terminal, as one HTML file, and as matplotlib figures.

Import the module you need (`genlens.reports.terminal`, `.html`, `.plots`); none is loaded here, so that matplotlib
and jinja2 stay out of runs that don't use them.
"""
