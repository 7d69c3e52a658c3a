"""Statistics for comparing hospitals fairly: pure functions on numpy arrays, each with its formula's source.

What must stay true: nothing here reads a file, a clock or a setting; scalars and arrays broadcast alike; a flag is judged by the exact
tail probability, never by the drawn curve; wrong shapes and impossible values raise `ValueError` with a sentence.

| module | topic |
| --- | --- |
| `intervals` | Byar, exact Poisson, Wilson, mean |
| `tails` | exact tail probabilities and the flagging rule |
| `funnel` | exact binomial and Poisson limits, interpolated for drawing |
| `poisson_binomial` | sums of unequal chances: mass, tails, limits, interval of a ratio |
| `standardisation` | observed over expected |
| `overdispersion` | z-scores, winsorising, multiplicative and additive overdispersion |
| `heterogeneity` | variation between hospitals: Q, I², τ², median odds ratio |
| `logistic` | penalised logistic regression |
| `calibration` | how well predicted chances agree with what came |
| `shrinkage` | hierarchical estimates by quadrature |
| `multiplicity` | many comparisons at once |
"""
