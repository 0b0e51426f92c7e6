-- Sixteen GETs in one write, then their sixteen answers.
dofile("report.lua")

local batch

function init(arguments)
  batch = string.rep(wrk.format("GET"), 16)
end

function request()
  return batch
end
