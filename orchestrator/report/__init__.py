"""The page `report.html`: what a build and its audit say, for a person with a browser.

Pure functions from the values in `result.json`, `audit.json` and the bill of materials to bytes.
"""
