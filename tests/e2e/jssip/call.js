// One user in a browser: registers over WSS, calls (or waits to be called) and says which tone it hears. Each event is a line "E2E ..."
// on the console, which the script that started the browser reads.
// #{"server":"wss://example.com:5063","user":"wendy@example.com","password":"...","calls":["sip:bob@example.com"],"seconds":3}
// "holds":"sip:..." is held for a moment; ICE is begun anew with "restarts":"sip:...". It calls those in `calls` one after another, each for so many seconds; then it waits for calls, and the other side hangs up.
'use strict';

const plan = JSON.parse(decodeURIComponent(location.hash.slice(1)));
const media = { mediaConstraints: { audio: true, video: false }, pcConfig: { iceServers: [] } };
const calls = [...(plan.calls || [])];

function say(...words) {
    console.log('E2E', ...words);
}

// The loudest frequency of what comes in, while it comes: a line whenever half a second had the same one.
async function listen(track) {
    const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
    let samples = [], last = 0;

    for (;;) {
        const { value, done } = await reader.read();
        if (done)
            return;
        const plane = new Float32Array(value.numberOfFrames);
        value.copyTo(plane, { planeIndex: 0, format: 'f32-planar' });
        samples.push(...plane);
        const rate = value.sampleRate;
        value.close();
        if (samples.length < rate / 2)
            continue;
        const hz = loudest(samples, rate);
        if (hz && hz === last)
            say('hears', hz);
        last = hz;
        samples = [];
    }
}

// Of a few tones, by Goertzel's sum; 0 if none of them has most of the energy.
function loudest(x, rate) {
    const total = x.reduce((sum, v) => sum + v * v, 0);
    let best = 0, most = 0;

    for (const hz of [440, 660, 880]) {
        const c = 2 * Math.cos(2 * Math.PI * hz / rate);
        let a = 0, b = 0;
        for (const v of x)
            [a, b] = [v + c * a - b, a];
        const energy = 2 * (a * a + b * b - c * a * b) / x.length;
        if (energy > most)
            [best, most] = [hz, energy];
    }
    return total > 1e-3 && most > total / 2 ? best : 0;
}

function follow(session) {
    session.on('peerconnection', ({ peerconnection: pc }) => watch(pc));
    session.on('accepted', () => say('call accepted'));
    session.on('confirmed', () => say('call confirmed'));
    session.on('failed', (e) => { say('call failed', e.cause); next(); });
    session.on('ended', (e) => { say('call ended', e.cause); next(); });
    if (session.connection)
        watch(session.connection);
}

function watch(pc) {
    pc.addEventListener('track', (e) => {
        document.getElementById('far').srcObject = new MediaStream([e.track]);
        listen(e.track).catch((x) => say('cannot listen', x.message));
    });
    pc.addEventListener('connectionstatechange', () => say('media', pc.connectionState));
    pc.addEventListener('icegatheringstatechange', () => say('gathering', pc.iceGatheringState));
}

// Held, and taken up again: two re-INVITEs.
function hold(session) {
    session.hold({}, () => {
        say('held');
        setTimeout(() => session.unhold({}, () => say('goes on')), 300);
    });
}

let ua;

function next() {
    const target = calls.shift();
    if (!target) {
        say('waits');
        return;
    }
    say('calls', target);
    const session = ua.call(target, media);
    follow(session);
    session.once('confirmed', () => {
        const holds = target === plan.holds;
        if (holds)
            setTimeout(() => hold(session), 2000); // baresip records up to the first change
        if (target === plan.restarts)
            setTimeout(() => session.renegotiate({ rtcOfferConstraints: { iceRestart: true } }, () => say('ICE anew')), 3000);
        setTimeout(() => session.terminate(), ((plan.seconds || 3) + (holds || target === plan.restarts ? 2 : 0)) * 1000);
    });
}

ua = new JsSIP.UA({
    sockets: [new JsSIP.WebSocketInterface(plan.server)],
    uri: `sip:${plan.user}`,
    password: plan.password,
    register_expires: 120,
    session_timers: false,
});
ua.on('connected', () => say('connected'));
ua.on('registrationFailed', (e) => say('registration failed', e.cause));
ua.once('registered', () => { say('registered'); next(); });
ua.on('newRTCSession', ({ originator, session }) => {
    if (originator !== 'remote')
        return;
    say('called');
    follow(session);
    session.answer(media);
});
ua.start();
