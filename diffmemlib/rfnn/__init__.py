"""Random-features score network (Eq. 7): coefficients, spectrum of U, exact training dynamics, and their limits.

s_A(x) = A/sqrt(p) . sigma(W x / sqrt(d)), W (p, d) standard normal and frozen, A (d, p) trained from zero by gradient
flow at one diffusion time t, tau = steps * rate / d^2. psi_p = p/d, psi_n = n/d. Data covariance: atoms
(eigenvalue, weight), Sigma = I by default.
"""
