# SPDX-License-Identifier: MIT
# A PSGI application that tells which process answers.
sub { [200, ['Content-Type', 'text/plain'], ["pid=$$\n"]] };
