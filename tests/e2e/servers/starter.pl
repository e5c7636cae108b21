#!/usr/bin/env perl
# SPDX-License-Identifier: MIT
# A server for Server::Starter, with its own module.
use strict;
use warnings;
use IO::Socket::INET;
use Server::Starter qw(server_ports);

my $fd = (values %{server_ports()})[0];
my $listener = IO::Socket::INET->new or die;
$listener->fdopen($fd, 'r+') or die "cannot use $fd: $!";
my $stop = 0;
$SIG{TERM} = sub { $stop = 1 };
until ($stop) {
	my $client = $listener->accept or next;
	sysread $client, my $request, 4096;
	print $client "HTTP/1.0 200 OK\r\n\r\npid=$$\n";
	close $client;
}
