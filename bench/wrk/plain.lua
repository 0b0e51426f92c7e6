-- One GET at a time on each connection, with nothing but Host.
dofile("report.lua")
