-- A second's sleep in Apache, with mod_lua.
function handle(r)
    r.usleep(1000000)
    r.content_type = "text/plain"
    r:puts("hello\n")
    return apache2.OK
end
