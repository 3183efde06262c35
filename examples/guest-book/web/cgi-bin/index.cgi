#!/bin/sh
# Writes the visitor into the guest book and tells how many there were.
number=$(timeout 5 wget -q -O - "http://db/cgi-bin/insert?$REMOTE_ADDR")
printf 'Content-Type: text/plain\r\n\r\n'
echo "visit ${number:-unknown, since the database does not answer}, served by $(hostname)"
