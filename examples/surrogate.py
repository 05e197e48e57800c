"""The calibration curve of a noisy sensor, with error bars.

python examples/surrogate.py surrogate.png

An infrared distance sensor has been read at 60 distances; something stood in the way between 25 and
40 cm.  How many volts belong to a distance, and how far off may that be?
"""

import sys

import numpy as np

import cbackprop


def read_sensor(cm, rng):
    """Volts: a peak at 7 cm, a long tail, and 30 mV of noise."""
    return 6.2 * (cm / 7) / (1 + (cm / 7) ** 2) + rng.normal(scale=0.03, size=cm.shape)


def main(picture):
    rng = np.random.default_rng(1)
    cm = np.concatenate([np.geomspace(3, 25, 40), np.linspace(40, 80, 20)])[:, None]
    volts = read_sensor(cm, rng)

    net = cbackprop.Network(
        (1, 12, 1),
        activation="tanh",
        output_activation="identity",
        init="nguyen_widrow",
        seed=0,
    )
    net.fit_scaling(cm, volts, inputs="minmax", targets="minmax")
    solver = cbackprop.BayesianRegularization(keep_posterior=True)
    history = cbackprop.Trainer(net, solver=solver, seed=0).fit(cm, volts, epochs=1000)

    gamma = history["effective_parameters"][-1]
    print(f"{history.n_epochs} epochs, {history.stop_reason}")
    print(f"the data determine {gamma:.1f} of {net.n_parameters} parameters")

    noise = net.posterior.noise_std / abs(net.output_scaling.scale[0])
    print(f"noise: {1000 * noise:.0f} mV")

    new = rng.uniform(3, 80, (2000, 1))
    Y_hat, std = net.predict(new, return_std=True)
    inside = np.abs(read_sensor(new, rng) - Y_hat) < 2 * std
    measured = (new < 25) | (new > 40)
    print(f"new readings within two standard deviations: {inside[measured].mean():.1%},")
    print(f"and where there was no data: {inside[~measured].mean():.1%}")

    draw(picture, net, cm, volts)


def draw(picture, net, cm, volts):
    """The readings, the curve and twice its standard deviation to either side."""
    from matplotlib.figure import Figure

    X = np.linspace(3, 80, 400)[:, None]
    Y_hat, std = (Y[:, 0] for Y in net.predict(X, return_std=True))
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(X[:, 0], Y_hat - 2 * std, Y_hat + 2 * std, alpha=0.25, label="± 2 std")
    axes.plot(X[:, 0], Y_hat, label="network")
    axes.plot(cm, volts, "k.", markersize=4, label="readings")
    axes.set_xlabel("distance, cm")
    axes.set_ylabel("sensor, V")
    axes.legend()
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "surrogate.png")
