# Shortcuts; each is one script, which says more.

.PHONY: packages packages-aarch64 check test-packages

# Packages for Debian and RPM systems, in target/packages.
packages:
	packaging/packages

packages-aarch64:
	packaging/packages --arch aarch64

# Installs, upgrades, removes and purges the packages in systems of their own. Needs root.
test-packages:
	tests/packages/run

# Everything that a change has to pass.
check:
	.ci/run
