"""The asset checks: integrity, and the paper's claims."""
