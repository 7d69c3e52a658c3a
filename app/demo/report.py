"""What the server reports: each hospital's own MeasureReport, asked for by the standard operation over HTTP."""
