#!/usr/bin/perl
# Net::Server::PreFork takes its settings from the command line. To reload it executes this file.
package Hello;
use strict;
use warnings;
use parent 'Net::Server::PreFork';

sub process_request {
    my $client = shift->{server}{client};
    sysread $client, my $request, 8192;
    sleep 1 if $request =~ m{^GET /sleep};
    print $client "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
        . "Content-Length: 6\r\nConnection: close\r\n\r\nhello\n";
}

Hello->run;
