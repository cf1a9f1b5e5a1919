"""What can a network find out about pendulums by looking? The README's example as a program."""

import numpy as np

from minigen import datasets, metrics, models

rng = np.random.default_rng(0)
data = datasets.pendulum_trajectories(4000, rng, view=100, noise=False)  # 5 s each, factors drawn at random
vae = models.VAE(latent=6).fit(data.theta, rng=rng)  # 5000 steps, a few seconds
swings = vae.sample(1000, rng)  # (1000, 100) angles in rad
residual = metrics.physics_residual(swings, data.t).residual  # distance from the nearest real pendulum
mean, sd = vae.encode(data.theta)
nats = 0.5 * (mean**2 + sd**2 - 1 - 2 * np.log(sd)).mean(axis=0)  # what each latent tells about a trajectory
print(f"median residual {np.median(residual):.4f} rad at an RMS amplitude of {np.sqrt(np.mean(data.theta**2)):.2f} rad")
print("nats per latent:", *(f"{value:.1f}" for value in sorted(nats, reverse=True)))
