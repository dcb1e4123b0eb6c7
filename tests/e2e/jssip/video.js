// Two users in one page: both register over WSS, the first calls the second with sound and video, and each says once it has decoded
// what the other one sends, and how it came. Each event is a line "E2E ..." on the console, which the script that started the browser reads.
// #{"server":"wss://example.com:5063","user":"wendy@example.com","password":"...","callee":"vera@example.com","callee_password":"..."}
// The call lasts until the browser is ended.
'use strict';

const plan = JSON.parse(decodeURIComponent(location.hash.slice(1)));
const media = { mediaConstraints: { audio: true, video: { width: 160, height: 120, frameRate: 10 } }, pcConfig: { iceServers: [] } };
const FRAMES = 20;
const PACKETS = 50;

function say(...words) {
    console.log('E2E', ...words);
}

async function look(name, pc) {
    const stats = [...(await pc.getStats()).values()];
    const video = stats.find((s) => s.type === 'inbound-rtp' && s.kind === 'video');
    const audio = stats.find((s) => s.type === 'inbound-rtp' && s.kind === 'audio');
    const pairs = stats.filter((s) => s.type === 'transport' && s.dtlsState === 'connected').length;

    if (!video || !audio || video.framesDecoded < FRAMES || audio.packetsReceived < PACKETS || !(audio.totalAudioEnergy > 0)) {
        setTimeout(() => look(name, pc), 200);
        return;
    }
    say(name, 'sees and hears:', `${video.frameWidth}x${video.frameHeight}`, 'over', pairs, 'transports');
}

function watch(name, where, pc) {
    const far = new MediaStream();

    pc.addEventListener('track', (e) => {
        far.addTrack(e.track);
        document.getElementById(where).srcObject = far;
    });
    pc.addEventListener('connectionstatechange', () => {
        say(name, 'media', pc.connectionState);
        if (pc.connectionState === 'connected')
            look(name, pc);
    });
}

function follow(name, where, session) {
    session.on('peerconnection', ({ peerconnection: pc }) => watch(name, where, pc));
    session.on('confirmed', () => say(name, 'confirmed'));
    session.on('failed', (e) => say(name, 'failed', e.cause));
    session.on('ended', (e) => say(name, 'ended', e.cause));
    session.on('sdp', (e) => {
        if (e.originator === 'local' && /^a=group:BUNDLE/m.test(e.sdp))
            say(name, e.type, 'with BUNDLE');
    });
    if (session.connection)
        watch(name, where, session.connection);
}

function start(user, password, ready) {
    const ua = new JsSIP.UA({
        sockets: [new JsSIP.WebSocketInterface(plan.server)],
        uri: `sip:${user}`,
        password,
        register_expires: 120,
        session_timers: false,
    });

    ua.once('registered', () => { say(user, 'registered'); ready(ua); });
    ua.on('registrationFailed', (e) => say(user, 'registration failed', e.cause));
    ua.start();
    return ua;
}

start(plan.callee, plan.callee_password, (callee) => {
    callee.on('newRTCSession', ({ originator, session }) => {
        if (originator !== 'remote')
            return;
        follow('callee', 'callee', session);
        session.answer(media);
    });
    start(plan.user, plan.password, (caller) => {
        const session = caller.call(`sip:${plan.callee}`, media);

        follow('caller', 'caller', session);
    });
});
