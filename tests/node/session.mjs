// Asks the questions that stand on standard input, through Node's http or through undici, and prints the answers.
// {library, url, pipelining?, questions: [{method, target, fields, file?, chunked?}]}

import { createHash } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import http from "node:http";

const plan = JSON.parse(readFileSync(0, "utf8"));

async function answered(status, fields, body) {
    const hash = createHash("sha256");
    let length = 0;
    for await (const piece of body) {
        hash.update(piece);
        length += piece.length;
    }
    return { status, fields, told: `${length}-${hash.digest("hex")}` };
}

// A keep-alive agent with one connection. Where the question expects 100-continue, nothing of the body is sent before it has come.
async function throughHttp() {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const ask = ({ method, target, fields, file, chunked }) =>
        new Promise((resolve, reject) => {
            const body = file === undefined ? undefined : readFileSync(file);
            const headers = { ...fields };
            if (body !== undefined && !chunked) headers["Content-Length"] = body.length;
            const request = http.request(plan.url + target, { method, headers, agent });
            let interim = 0;
            request.on("error", reject);
            request.on("response", (response) => {
                const told = answered(response.statusCode, response.headers, response);
                told.then((answer) => resolve({ ...answer, interim, reused: request.reusedSocket }), reject);
            });
            if (headers.Expect !== undefined) {
                request.on("continue", () => {
                    interim += 1;
                    request.end(body);
                });
                request.flushHeaders();
            } else if (body !== undefined && chunked) {
                createReadStream(file, { highWaterMark: 10_000 }).pipe(request);
            } else {
                request.end(body);
            }
        });
    const answers = [];
    for (const question of plan.questions) answers.push(await ask(question));
    agent.destroy();
    return { answers };
}

// One connection. With pipelining all questions are asked at once; `pipelined` is how many were written before
// the first byte of an answer had come.
async function throughUndici() {
    const { Client, buildConnector } = await import("undici");
    let pipelined = 0;
    const connector = buildConnector({});
    const connect = (options, callback) =>
        connector(options, (error, socket) => {
            if (socket) {
                const write = socket.write;
                socket.write = function (data, ...rest) {
                    if (socket.bytesRead === 0) pipelined += (String(data).match(/ HTTP\/1\.1\r\n/g) ?? []).length;
                    return write.call(this, data, ...rest);
                };
            }
            callback(error, socket);
        });
    const client = new Client(plan.url, { connect, pipelining: plan.pipelining ?? 1 });
    const ask = async ({ method, target, fields, file, chunked }) => {
        const whole = file === undefined ? undefined : readFileSync(file);
        const body = chunked ? createReadStream(file, { highWaterMark: 10_000 }) : whole;
        // by default it closes the connection after HEAD, as a precaution
        const response = await client.request({ path: target, method, headers: fields, body, reset: false });
        return answered(response.statusCode, response.headers, response.body);
    };
    const answers = [];
    if (plan.pipelining > 1) {
        answers.push(...(await Promise.all(plan.questions.map(ask))));
    } else {
        for (const question of plan.questions) answers.push(await ask(question));
    }
    await client.close();
    return { answers, pipelined };
}

process.stdout.write(JSON.stringify(await (plan.library === "http" ? throughHttp() : throughUndici())));
