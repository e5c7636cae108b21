# SPDX-License-Identifier: MIT
# A server with HTTP::Daemon, one request at a time: perl daemon.pl PORT
use strict;
use warnings;
use HTTP::Daemon;
use HTTP::Response;

my $daemon = HTTP::Daemon->new(
	LocalAddr => '127.0.0.1',
	LocalPort => $ARGV[0],
	ReuseAddr => 1,
	Listen    => 64,
) or die "cannot listen: $@\n";

while (my $connection = $daemon->accept) {
	if ($connection->get_request) {
		$connection->send_response(
			HTTP::Response->new(200, 'OK', undef, "pid=$$\n"));
	}
	$connection->close;
}
