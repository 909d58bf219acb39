"""The page in a real browser, with a rendered scene whose ground truth is known.

browser     Chromium, and positions on the page          scene   a run that is advanced frame by frame
recording   the page's video and screenshots
"""
