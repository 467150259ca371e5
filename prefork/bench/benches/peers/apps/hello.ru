run lambda { |env|
  sleep 1 if env['PATH_INFO'] == '/sleep'
  [200, { 'content-type' => 'text/plain', 'content-length' => '6' }, ["hello\n"]]
}
