"""Networks that predict the noise: eps = net(x, k), with k the DDPM step of each sample."""
