"""The page in a real browser on a scene of which everything is known.

scene     a run that goes on as it is let            browser   Chromium, and places on the page
film      the page's film and screenshots
"""
