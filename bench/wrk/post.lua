-- One POST at a time on each connection. BODY_LENGTH is the length of its body.
dofile("report.lua")

wrk.method = "POST"
wrk.body = string.rep("x", tonumber(os.getenv("BODY_LENGTH")))
