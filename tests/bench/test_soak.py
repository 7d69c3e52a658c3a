"""The soak's judgement: a leak is seen under noise and spikes, and noise alone is no leak."""

import random

from bench.soak import LIMIT, slope


def measured(leak: float, seed: int) -> tuple[float, float, float]:
    """180 samples of half an hour; the noise wanders, and now and then a password is hashed."""
    rng, wander, values = random.Random(seed), 0.0, []
    hours = [number * 10 / 3600 for number in range(180)]
    for hour in hours:
        wander = 0.9 * wander + rng.gauss(0, 0.1)
        values.append(110 + leak * hour + wander + 64 * (rng.random() < 0.03))
    return slope(hours, values)


def test_a_leak_is_seen_and_noise_is_none() -> None:
    for seed in range(20):
        estimate, low, high = measured(20.0, seed)
        assert low > LIMIT and low < estimate < high and abs(estimate - 20) < 5
    assert all(measured(0.0, seed)[1] < LIMIT / 2 for seed in range(20))
    assert sum(measured(0.0, seed)[1] > 0 for seed in range(40)) <= 6  # about one in forty, and a little for what wanders
