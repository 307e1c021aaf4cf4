"""How long one may train on data of one's own: small trainings on parts of it, and what they predict for all of it."""
