sub {
    sleep 1 if $_[0]{PATH_INFO} eq '/sleep';
    [200, ['Content-Type' => 'text/plain', 'Content-Length' => 6], ["hello\n"]];
};
