"""Charts as SVG text, made on the server: pure functions of numbers.

What must stay true: each has a title and a description that say what it shows, no meaning lies in colour alone, labels do not collide, text is large
enough on a phone, and no style or script is inside, so that it stands under a strict content policy, in print and on its own.
"""

from app.web.charts.funnel import Point, funnel
from app.web.charts.icons import icons
from app.web.charts.range_bar import range_bar
from app.web.charts.trend import trend

__all__ = ["Point", "funnel", "icons", "range_bar", "trend"]
